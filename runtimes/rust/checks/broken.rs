fn main() {
    nothing();
}
