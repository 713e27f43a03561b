// The outer arithmetic once more, with -O3 -march=native -mfma, under another name
// (CMakeLists.txt).
#define arithmetic arithmetic_native
#include "wan/arithmetic.cc"
