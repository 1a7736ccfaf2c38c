def draw(cells, format): return b''
