fn main() {
    println!("before");
    let words: Vec<String> = std::env::args().collect();
    println!("{}", words[1]);
}
