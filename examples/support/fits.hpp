// Experiments of many fits: pre-trainings without labels, classifiers fine-tuned from them, and what they leave on
// disk.
#pragma once

#include <sslmeme/core/precision.hpp>
#include <sslmeme/nn/fusion.hpp>
#include <sslmeme/nn/heads.hpp>

#include "support/data.hpp"
#include "support/seed_processes.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace examples {

enum class Pretraining { clip, cass, cass_mm, cass_mm_reference, dino };

/// Which picture encoder of an experiment; none: the pictures are not looked at.
enum class PictureEncoder { none, cnn, vit };

/// One pre-training. CLIP and DINO train `encoder`; CASS and CASS-MM both.
struct PretrainFit {
  std::string key;    ///< of its folder: "clip"
  std::string title;  ///< for people: "CLIP"
  Pretraining method = Pretraining::clip;
  PictureEncoder encoder = PictureEncoder::vit;
  int size = 64;  ///< pixels of both edges
  std::int64_t epochs = 10;
};

/// One classifier.
struct FinetuneFit {
  std::string key, title;
  PictureEncoder picture = PictureEncoder::vit;
  bool words = true;
  std::string from = {};    ///< key of the pre-training that it starts from; empty: fresh encoders, or those of files
  std::int64_t labels = 0;  ///< so many memes, half of each class, are all that it learns from; 0: all
  sm::FusionKind fusion = sm::FusionKind::align;
  bool frozen_encoders = false;
  bool retrieval_guided = false;  ///< trained by RGCL too
  int size = 64;
  std::int64_t epochs = 10;
};

/// What all fits of an experiment share.
struct Experiment {
  std::filesystem::path out;  ///< a folder for each seed lies in it, one for each fit in that
  DataArguments data = {};
  std::string train = "train", dev = "dev_seen", test = "test_seen";
  std::string pool = {};               ///< split to pre-train on, labels or not; empty: `train`
  std::vector<std::string> also = {};  ///< further splits to measure
  std::string cnn, vit, text;          ///< encoders, as on the command line: NAME:key=value,…
  std::string vocabulary = {};         ///< WordPiece vocab.txt; empty: one is trained on the texts of `train`
  std::int64_t batch = 32, max_tokens = 24, fusion_dim = 128;
  double lr = 8e-4, weight_decay = 0.05;
  std::int64_t least_steps = 0;  ///< a classifier with few labels is trained for so many steps, whatever its epochs
  sm::ProjectionKind clip_projection = sm::ProjectionKind::linear;  ///< mlp learns faster from fresh encoders
  std::int64_t dino_prototypes = 65536, dino_hidden = 2048;
  int dino_locals = 8;
  std::string device = "cpu";
  sm::Precision precision = sm::Precision::fp32;
  int threads = 1, workers = 1;  ///< of one seed's process
  std::int64_t bank = 200;       ///< training memes that a classifier keeps for score_memes to compare with
  bool checkpoints = false;      ///< each epoch, at most 30; an unfinished fit then goes on where it was
  std::vector<PretrainFit> pretrainings = {};
  std::vector<FinetuneFit> classifiers = {};

  /// The split that is pre-trained on.
  const std::string& pretraining_split() const { return pool.empty() ? train : pool; }
};

/// Which encoders the fits use.
struct UsedEncoders {
  bool cnn = false, vit = false, text = false;
};
UsedEncoders used_encoders(const Experiment& experiment);

/// Builds every encoder that the fits use, once, so that a file of weights or a vocabulary that does not fit is told
/// before anything is trained. Throws as the encoders' parsers and WordPiece::from_file do.
void check_encoders(const Experiment& experiment);

/// The folder of one fit.
std::filesystem::path fit_folder(const Experiment& experiment, int seed, const std::string& key);

/// Runs all fits of one seed; those that are complete on disk are not run again. Call it in a process of its own, as
/// run_seed_processes() does.
void run_seed(const Experiment& experiment, int seed, SeedProgress& progress);

}  // namespace examples
