void main() {
    print("before\n");
    error("no more");
}
