package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Println("before")
	fmt.Println(os.Args[1])
}
