// TOY_LOOP: one copy of a function a processor generation, chosen when the library is loaded.
#pragma once

#ifdef __x86_64__
#define TOY_LOOP __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TOY_LOOP
#endif
