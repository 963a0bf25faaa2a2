fun main() {
    nothing()
}
