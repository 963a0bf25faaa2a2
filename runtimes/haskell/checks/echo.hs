import System.Environment
import System.Exit

main :: IO ()
main = do
  putStrLn "Grüße, 世界! 😀"
  getArgs >>= mapM_ putStrLn
  interact (unlines . map ("> " ++) . lines)
  exitWith (ExitFailure 7)
