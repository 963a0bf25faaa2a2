import scala.io.Source

object Echo {
  def main(words: Array[String]): Unit = {
    println("Grüße, 世界! 😀")
    words.foreach(println)
    Source.stdin.getLines.foreach(line => println("> " + line))
    sys.exit(7)
  }
}
