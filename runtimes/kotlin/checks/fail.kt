fun main(words: Array<String>) {
    println("before")
    println(1 / words.size)
}
