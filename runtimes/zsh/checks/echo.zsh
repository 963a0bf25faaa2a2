echo 'Grüße, 世界! 😀'
for word; do
    print -r -- $word
done
while read -r line; do
    echo "> $line"
done
exit 7
