if:
