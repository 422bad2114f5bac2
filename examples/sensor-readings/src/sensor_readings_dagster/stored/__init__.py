"""How values become files: data frames as Parquet, everything else as pickles."""
