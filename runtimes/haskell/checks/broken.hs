main :: IO ()
main = nothing
