import kotlin.system.exitProcess

fun main(words: Array<String>) {
    println("Grüße, 世界! 😀")
    words.forEach { println(it) }
    generateSequence(::readLine).forEach { println("> $it") }
    exitProcess(7)
}
