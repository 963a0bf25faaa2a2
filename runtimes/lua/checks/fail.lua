print('before')
print(nothing.at_all)
