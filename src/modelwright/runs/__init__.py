"""Floor 4: what training leaves behind: the store of runs, their manifests and their reports.

`modelwright.runs.store` starts, lists and reads runs; `modelwright.runs.report` writes the page a person opens.
"""
