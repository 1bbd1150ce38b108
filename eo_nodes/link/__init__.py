"""Link between the segments: frames, space packets, CFDP class 2. Bytes in, values and bytes out."""
