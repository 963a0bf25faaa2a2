int main(int count) {
    write("before\n");
    write("%d\n", 1 / (count - 1));
    return 0;
}
