#include "bundle.hpp"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "mistake.hpp"
#include "sha256.hpp"

namespace mcore {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr int kFormatVersion = 2;
constexpr const char* kSampling = "linspace-truncated, by presentation time";
constexpr const char* kAgain = "; copy the bundle again, or export it again with: mcore-export CHECKPOINT --out BUNDLE";

int whole(const json& values, const char* name, int least, int most) {
    const json& value = values.at(name);
    demand(value.is_number_integer() && value >= least && value <= most,
           std::string(name) + " is " + value.dump() + "; allowed: " + std::to_string(least) + " to " + std::to_string(most));
    return value.get<int>();
}

std::array<float, 3> colours(const json& values, const char* name, double least) {
    const json& list = values.at(name);
    demand(list.is_array() && list.size() == 3, std::string(name) + " must have three values, one for each colour");
    std::array<float, 3> numbers;
    for (size_t i = 0; i < 3; ++i) {
        const double value = list[i].get<double>();
        demand(std::isfinite(value) && value >= least, std::string(name) + " has " + list[i].dump());
        numbers[i] = static_cast<float>(value);
    }
    return numbers;
}

Contract parse_contract(const json& model) {
    const json& clip = model.at("clip");
    Contract contract;
    contract.num_frames = whole(clip, "num_frames", 4, 4096);
    contract.resize_width = whole(clip, "resize_width", 1, 4096);
    contract.resize_height = whole(clip, "resize_height", 1, 4096);
    contract.crop_size = whole(clip, "crop_size", 1, std::min(contract.resize_width, contract.resize_height));
    contract.mean = colours(clip, "mean", 0);
    contract.deviation = colours(clip, "std", 1e-6);
    const json& widths = model.at("backbone").at("widths");
    demand(widths.is_array() && !widths.empty(), "the backbone has no widths");
    contract.feature_dim = whole(json{{"feature dimension", widths.back()}}, "feature dimension", 1, 65536);
    contract.tokens_per_stage = whole(model, "tokens_per_stage", 1, 4096);
    return contract;
}

// A manifest must not name files outside its folder.
std::string safe_name(const std::string& name) {
    const fs::path path(name);
    bool inside = !name.empty() && !path.is_absolute() && name.find('\\') == std::string::npos;
    for (const fs::path& step : path) inside = inside && step != "..";
    demand(inside, "it names '" + name + "', which is not a file inside the bundle");
    return name;
}

std::array<Graph, 3> graphs_of(const json& variant, const Contract& contract) {
    const int64_t frames = contract.num_frames, side = contract.crop_size, dim = contract.feature_dim;
    const int64_t tokens = contract.tokens_per_dive();
    const TensorSpec clip{"clip", false, {1, 3, frames, side, side}}, features{"features", false, {1, frames, dim}};
    const TensorSpec logits{"logits", false, {1, frames, 2}}, transitions{"transitions", true, {1, 2}};
    const TensorSpec query{"query", false, {1, tokens, dim}}, pooled{"tokens", false, {1, tokens, dim}};
    const TensorSpec exemplars{"exemplars", false, {kAnyExtent, tokens, dim}};
    const TensorSpec delta{"delta", false, {kAnyExtent}}, shares{"stage_deltas", false, {kAnyExtent, 3}};
    std::array<Graph, 3> graphs = {Graph{"", "", {clip}, {features}},
                                   Graph{"", "", {features}, {logits, transitions, pooled}},
                                   Graph{"", "", {query, exemplars}, {delta, shares}}};
    for (size_t i = 0; i < graphs.size(); ++i) {
        graphs[i].path = safe_name(variant.at("graphs").at(kParts[i]).at("file").get<std::string>());
        graphs[i].arithmetic = variant.at("precision").at(kParts[i]).get<std::string>();
    }
    return graphs;
}

std::optional<Calibration> calibration_of(const json& values) {
    if (values.is_null()) return std::nullopt;
    const Calibration found{values.at("level").get<double>(), values.at("half_width_points").get<double>()};
    demand(found.level > 0 && found.level < 1 && std::isfinite(found.half_width_points) && found.half_width_points >= 0,
           "its calibration is " + values.dump());
    return found;
}

// Bundles that were exported without validation dives have none.
Calibrations calibrations_of(const json& variant) {
    const json exemplars = variant.value("exemplars", json()), none;
    const json calibration = exemplars.is_object() ? exemplars.value("calibration", none) : none;
    if (calibration.is_null()) return {};
    return {calibration_of(calibration.at("same_number")), calibration_of(calibration.at("other_numbers"))};
}

std::string bank_file(const std::string& precision) {
    return precision == "fp32" ? "exemplars.npz" : precision + "/exemplars.npz";
}

std::string read_file(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    demand(file && (text << file.rdbuf() || file.peek() == std::ifstream::traits_type::eof()),
           path.string() + " cannot be read; check that it exists and its rights");
    return text.str();
}

void verify(const fs::path& folder, const std::string& name, const std::string& expected, const std::string& content) {
    const std::string got = sha256(content);
    demand(got == expected, (folder / name).string() + " is not the file that was exported: expected SHA-256 " +
                                expected.substr(0, 16) + "..., got " + got.substr(0, 16) + "..." + kAgain);
}

}  // namespace

Manifest parse_manifest(const std::string& text, const std::string& precision) {
    try {
        const json values = json::parse(text);
        demand(values.is_object() && values.value("format", json()) == "mcore-bundle", "it is not a bundle's manifest");
        const json& version = values.at("format_version");
        demand(version == kFormatVersion, "it has format version " + version.dump() + ", this program reads " +
                                              std::to_string(kFormatVersion) + ": use a bundle and a program of one release");
        demand(values.at("sampling") == kSampling, "it samples clips by the rule " + values["sampling"].dump() +
                                                       "; this program knows \"" + kSampling + "\"");
        Manifest manifest;
        manifest.created = values.at("created").get<std::string>();
        manifest.checkpoint = values.at("checkpoint").at("name").get<std::string>();
        manifest.contract = parse_contract(values.at("model"));
        const json& variants = values.at("variants");
        std::string there;
        for (const auto& item : variants.items()) there += (there.empty() ? "" : ", ") + item.key();
        demand(variants.contains(precision), "it has no " + precision + " graphs; it has: " + there);
        const json& variant = variants.at(precision);
        manifest.calibrations = calibrations_of(variant);
        demand(!variant.at("exemplars").is_null(), "it has no exemplars, so it can encode dives but not score them");
        manifest.graphs = graphs_of(variant, manifest.contract);
        for (const auto& item : values.at("files").items())
            manifest.hashes[safe_name(item.key())] = item.value().at("sha256").get<std::string>();
        for (const Graph& graph : manifest.graphs)
            demand(manifest.hashes.count(graph.path) == 1, "it lists no " + graph.path);
        demand(manifest.hashes.count(bank_file(precision)) == 1, "it lists no " + bank_file(precision));
        return manifest;
    } catch (const json::exception& error) {
        throw Mistake("it is damaged (" + std::string(error.what()) + ")" + kAgain);
    }
}

Bundle open_bundle(const std::string& folder, const std::string& precision) {
    const fs::path root(folder), manifest_path = root / "manifest.json";
    demand(fs::is_regular_file(manifest_path),
           folder + " has no manifest.json, so it is not a bundle. Make one with: mcore-export CHECKPOINT --out BUNDLE");
    const std::string text = read_file(manifest_path);
    Manifest manifest;
    try {
        manifest = parse_manifest(text, precision);
    } catch (const Mistake& mistake) {
        throw Mistake(manifest_path.string() + ": " + mistake.what());
    }
    std::string digests, bank;
    for (const auto& [name, expected] : manifest.hashes) {
        std::string content = read_file(root / name);
        verify(root, name, expected, content);
        if (name == bank_file(precision)) bank = std::move(content);
    }
    Bundle bundle{folder, sha256(text), manifest.created, manifest.checkpoint, manifest.contract, manifest.graphs, {}, manifest.calibrations};
    for (Graph& graph : bundle.graphs) {
        digests += manifest.hashes[graph.path];
        graph.path = (root / graph.path).string();
    }
    const std::string bank_path = (root / bank_file(precision)).string();
    try {
        bundle.bank = parse_bank({reinterpret_cast<const uint8_t*>(bank.data()), bank.size()},
                                 bundle.contract.tokens_per_dive(), bundle.contract.feature_dim);
    } catch (const Mistake& mistake) {
        throw Mistake(bank_path + " is not an exemplar bank of this bundle: " + mistake.what() + kAgain);
    }
    demand(bundle.bank.graphs_sha256 == sha256(digests),
           bank_path + " was encoded by other graphs than those of this bundle, so its tokens mean something else" + kAgain);
    return bundle;
}

}  // namespace mcore
