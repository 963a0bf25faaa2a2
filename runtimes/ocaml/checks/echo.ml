let () =
  print_endline "Grüße, 世界! 😀";
  Array.iteri (fun i word -> if i > 0 then print_endline word) Sys.argv;
  try
    while true do
      print_endline ("> " ^ read_line ())
    done
  with End_of_file -> exit 7
