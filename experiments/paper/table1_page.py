def markdown(result): return '\n'.join(f"{c['task']} {c['seed']} {c['model']} {c.get('metrics',{}).get('gap',{}).get('value')} {c.get('time_share')}" for c in result['cells'])
def to_csv(result): return ''
def latex(result): return ''
