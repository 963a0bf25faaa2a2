int main(string[] words) {
    print("Grüße, 世界! 😀\n");
    foreach (unowned string word in words[1:words.length])
        print("%s\n", word);
    string? line;
    while ((line = stdin.read_line()) != null)
        print("> %s\n", line);
    return 7;
}
