object Fail extends App {
  println("before")
  println(1 / args.length)
}
