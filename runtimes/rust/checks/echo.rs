use std::io::BufRead;

fn main() {
    println!("Grüße, 世界! 😀");
    for word in std::env::args().skip(1) {
        println!("{}", word);
    }
    for line in std::io::stdin().lock().lines() {
        println!("> {}", line.unwrap());
    }
    std::process::exit(7);
}
