"""Who a run meets on its machine and beyond, as far as tests must take their place."""
