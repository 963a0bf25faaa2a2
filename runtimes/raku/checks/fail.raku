say 'before';
say (1 div @*ARGS.elems);
