int main(int count, array(string) words) {
    write("Grüße, 世界! 😀\n");
    foreach (words[1..], string word) write("%s\n", word);
    while (string line = Stdio.stdin.gets()) write("> %s\n", line);
    return 7;
}
