-- Linked around the program's own main: what it prints appears line by line, in a pipe too.
module Live (main) where

import qualified Main
import System.IO

main :: IO ()
main = hSetBuffering stdout LineBuffering >> Main.main
