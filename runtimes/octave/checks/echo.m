1;  % a script, whatever comes first
printf("Grüße, 世界! 😀\n")
printf("%s\n", argv(){:})
while ischar(line = fgetl(stdin))
  printf("> %s\n", line)
end
exit(7)
