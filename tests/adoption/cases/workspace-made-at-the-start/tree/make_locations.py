MADE = True
