"""The compact model at run time, in two designs.

Format `shotcrop-nano/2`: a detector (`detector`, `decoding`) finds people and things (`scene`). A small network
(`composer`) chooses among people, pairs and groups (`candidates`) and proposes three boxes for each. A search
(`refinement`) moves their edges away from faults (`facts`, `faults`). `reasoning` reports what was found.

Format `shotcrop-nano/1`: a vision tower and an autoregressive decoder (`autoregressive_composer`, `generate`,
`grammar`, `network`, `mirror`, `border`).
"""
