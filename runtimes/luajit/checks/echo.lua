print('Grüße, 世界! 😀')
for _, word in ipairs(arg) do
    print(word)
end
for line in io.lines() do
    print('> ' .. line)
end
os.exit(7)
