object Broken extends App {
  nothing()
}
