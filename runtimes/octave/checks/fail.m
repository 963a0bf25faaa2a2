printf("before\n")
nothing()
