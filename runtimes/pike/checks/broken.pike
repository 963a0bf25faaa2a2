int main() {
    nothing();
}
