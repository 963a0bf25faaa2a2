let () = nothing ()
