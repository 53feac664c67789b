"""Count models of cells x genes, ready-made over the builders."""
