say 'Grüße, 世界! 😀';
.say for @*ARGS;
say "> $_" for $*IN.lines;
exit 7;
