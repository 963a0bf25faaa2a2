echo 'Grüße, 世界! 😀'
printf '%s\n' "$@"
while IFS= read -r line; do
    echo "> $line"
done
exit 7
