"""The loops over steps: one compilation serves every field of one precision.

A field is called by the address of its machine code, once a stage and tile: beside the hundreds of
operations of a tile a call is nothing, and a new field costs one small compilation. All workers of a solve
run the same loop on the same numbers: what they decide by are sums over all tiles, added in the tiles'
order, so that the bits of a solve do not depend on how many workers there are.
"""
