(println "Grüße, 世界! 😀")
(run! println *command-line-args*)
(run! #(println ">" %) (line-seq (java.io.BufferedReader. *in*)))
(System/exit 7)
