// The outer arithmetic once more, without optimisation, under another name (CMakeLists.txt).
#define arithmetic arithmetic_plain
#include "wan/arithmetic.cc"
