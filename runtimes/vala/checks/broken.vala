void main() {
    nothing();
}
