"""Reads a token file as Megatron's IndexedDataset does; prints its documents as JSON.

The layout is written down here a second time, on purpose: megatron_reader.py <prefix>
"""
import json
import struct
import sys

import numpy

prefix = sys.argv[1]
with open(prefix + ".idx", "rb") as stream:
    assert stream.read(9) == b"MMIDIDX\x00\x00", "bad header"
    assert struct.unpack("<Q", stream.read(8))[0] == 1, "bad version"
    dtype = {1: numpy.uint8, 2: numpy.int8, 3: numpy.int16, 4: numpy.int32, 5: numpy.int64,
             6: numpy.float64, 7: numpy.float32, 8: numpy.uint16}[struct.unpack("<B", stream.read(1))[0]]
    sequence_count = struct.unpack("<Q", stream.read(8))[0]
    document_count = struct.unpack("<Q", stream.read(8))[0]
    offset = stream.tell()
index = memoryview(numpy.memmap(prefix + ".idx", mode="r", order="C"))
lengths = numpy.frombuffer(index, dtype=numpy.int32, count=sequence_count, offset=offset)
pointers = numpy.frombuffer(index, dtype=numpy.int64, count=sequence_count, offset=offset + lengths.nbytes)
documents = numpy.frombuffer(index, dtype=numpy.int64, count=document_count,
                             offset=offset + lengths.nbytes + pointers.nbytes)
assert lengths.shape[0] == sequence_count == documents[-1]
tokens = memoryview(numpy.memmap(prefix + ".bin", mode="r", order="C"))
sequences = [numpy.frombuffer(tokens, dtype=dtype, count=length, offset=pointer).tolist()
             for pointer, length in zip(pointers, lengths)]
print(json.dumps({"dtype": numpy.dtype(dtype).name, "borders": documents.tolist(), "sequences": sequences}))
