#include "spec/chip.h"

#include <algorithm>
#include <cctype>
#include <iterator>

#include "base/text.h"

namespace skarv {
namespace {

constexpr double kTera = 1e12, kGiga = 1e9;

// Figures in the units of data sheets.
struct Sheet {
  Figure tflops, gigabytes, terabytes_per_second, link_gigabytes_per_second;
};

Figure unverified(double value) { return {value, false}; }
Figure scaled(Figure figure, double factor) { return {figure.value * factor, figure.verified}; }

Chip make(const char* name, const char* maker, const Sheet& sheet, double measured_tflops = 0,
          bool has_bf16 = true) {
  Chip chip{name,
            maker,
            scaled(sheet.tflops, kTera),
            scaled(sheet.gigabytes, kGiga),
            scaled(sheet.terabytes_per_second, kTera),
            scaled(sheet.link_gigabytes_per_second, kGiga),
            std::nullopt,
            has_bf16};
  if (measured_tflops > 0) chip.measured_matmul_flops = measured_tflops * kTera;
  return chip;
}

// Data sheets of the makers; matmul rates measured by others (sources: docs/design.md, 11).
std::vector<Chip> make_catalog() {
  const auto u = unverified;
  const auto v = [](double value) { return Figure{value, true}; };
  return {
      make("a100-sxm-40", "nvidia", {v(312), v(40), v(1.555), v(300)}, 271),
      make("a100-sxm-80", "nvidia", {v(312), v(80), v(2.0), v(300)}, 271),
      make("a100-pcie-80", "nvidia", {v(312), v(80), v(1.94), v(32)}, 253),
      make("a800", "nvidia", {v(312), v(80), v(2.0), u(200)}),
      make("h100-sxm", "nvidia", {v(989), v(80), v(3.35), v(450)}, 794),
      make("h800", "nvidia", {v(989), v(80), v(3.35), v(200)}),
      make("h200", "nvidia", {v(989), v(141), v(4.8), v(450)}),
      make("h20", "nvidia", {v(148), v(96), v(4.0), u(450)}),
      make("gh200", "nvidia", {v(989), v(96), v(4.0), v(450)}, 829),
      make("l40s", "nvidia", {v(362), v(48), v(0.86), v(32)}),
      make("rtx-4090", "nvidia", {v(165), v(24), v(1.008), v(32)}),
      make("t4", "nvidia", {v(65), v(16), v(0.32), v(16)}, 0, false),
      make("v100-sxm2-16", "nvidia", {v(125), v(16), v(0.9), v(150)}, 0, false),
      make("v100-sxm2-32", "nvidia", {v(125), v(32), v(0.9), v(150)}, 0, false),
      make("mi250x", "amd", {v(383), v(128), v(3.28), v(50)}),
      make("mi300x", "amd", {v(1307), v(192), v(5.3), v(64)}, 668),
      make("mi325x", "amd", {v(1300), v(256), v(6.0), v(64)}, 785),
      make("ascend-910b1", "ascend", {v(379), v(64), u(1.6), u(56)}),
      make("ascend-910b2", "ascend", {v(354), v(64), u(1.6), u(56)}),
      make("ascend-910b3", "ascend", {v(295), v(64), u(1.6), u(56)}),
      make("ascend-910b4", "ascend", {v(270), u(32), u(0.8), u(56)}),
      make("ascend-910c", "ascend", {v(752), v(128), v(3.2), u(392)}),
      // One core of a server, fp32, unverified: what counts is what `skarv probe` measures.
      make("cpu", "cpu", {u(0.1), u(4), u(0.02), u(5)}),
      // The plug-in device of the tests: a core behind its own memory.
      make("toy", "toy", {u(0.1), u(4), u(0.02), u(5)}),
  };
}

}  // namespace

std::vector<std::string> unverified_figures(const Chip& chip) {
  std::vector<std::string> names;
  const auto look_at = [&](const Figure& figure, const char* name) {
    if (!figure.verified) names.emplace_back(name);
  };
  look_at(chip.dense_flops, "FLOP/s");
  look_at(chip.memory_bytes, "memory");
  look_at(chip.memory_bandwidth, "memory bandwidth");
  look_at(chip.link_bandwidth, "link bandwidth");
  return names;
}

const std::vector<Chip>& chip_catalog() {
  static const std::vector<Chip> catalog = make_catalog();
  return catalog;
}

namespace {
// All variants of what people write, "A100" or "910B"; else the nearest name.
std::vector<std::string> near_chips(std::string_view name, const std::vector<std::string>& names) {
  std::string wanted(name);
  std::ranges::transform(wanted, wanted.begin(), [](unsigned char c) {
    return c == ' ' || c == '_' ? '-' : static_cast<char>(std::tolower(c));
  });
  std::vector<std::string> near;
  if (wanted.empty()) return near;
  std::ranges::copy_if(names, std::back_inserter(near), [&](const std::string& known) {
    return known.find(wanted) != std::string::npos;
  });
  if (!near.empty()) return near;
  if (const std::string nearest = nearest_name(wanted, names); !nearest.empty()) return {nearest};
  return near;
}
}  // namespace

Result<Chip> find_chip(std::string_view name) {
  std::vector<std::string> names;
  for (const Chip& chip : chip_catalog()) {
    if (chip.name == name) return chip;
    names.push_back(chip.name);
  }
  std::string hint = "known chips: " + join(names, ", ");
  if (const std::vector<std::string> near = near_chips(name, names); !near.empty()) {
    hint = cat("did you mean ", join(near, " or "), "?");
  }
  return Status(Code::kNotFound, Scope::kConfig, cat("no chip \"", name, "\" in the catalog"))
      .with_hint(std::move(hint));
}

}  // namespace skarv
