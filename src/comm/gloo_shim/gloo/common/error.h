// Part of the shim: ProcessGroupGloo.hpp includes this header and uses nothing of it.
#pragma once
