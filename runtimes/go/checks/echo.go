package main

import (
	"bufio"
	"fmt"
	"os"
)

func main() {
	fmt.Println("Grüße, 世界! 😀")
	for _, word := range os.Args[1:] {
		fmt.Println(word)
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(">", lines.Text())
	}
	os.Exit(7)
}
