echo 'Grüße, 世界! 😀'
for word in $argv
    echo $word
end
while read line
    echo "> $line"
end
exit 7
