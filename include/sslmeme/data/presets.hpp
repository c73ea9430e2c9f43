// Data sets of harmful memes as they are published, each as a Manifest.
#pragma once

#include <sslmeme/core/error.hpp>
#include <sslmeme/data/manifest.hpp>

#include <filesystem>
#include <string>

namespace sslmeme {

struct PresetOptions {
  DecodeLimits limits = {};  ///< what a picture may cost
  DuplicateIds duplicates = DuplicateIds::refuse;
  bool check_pictures = true;  ///< look for each picture at once; else a missing one is an error of get()
};

/// The files of a split are not there: not everybody has all of a data set. One that is there and cannot be opened is
/// a plain IoError.
class AbsentSplit : public IoError {
 public:
  using IoError::IoError;
};

/// MAMI, SemEval-2022 task 5 (Fersini et al. 2022, doi:10.18653/v1/2022.semeval-1.74): tab-separated files with the
/// columns file_name, misogynous (the label, 0 or 1) and Text Transcription, their pictures beside them. `split` is
///   "train"  training.csv, TRAINING/training.csv or training/TRAINING/training.csv,
///   "trial"  trial.csv, TRIAL/trial.csv or trial/trial.csv,
///   "test"   Test.csv, test/Test.csv or test/test/Test.csv, which has no labels: they come from test_labels.txt (rows
///            FILE, label, … without a header) beside it or in the root where there is one.
/// The id is the number in the file's name. Throws AbsentSplit, naming the files, if there is none, and as Manifest
/// does.
Manifest mami(const std::filesystem::path& root, const std::string& split, const PresetOptions& options = {});

/// HarMeme, COVID-19 and US politics (Pramanick et al. 2021, doi:10.18653/v1/2021.findings-acl.246 and
/// doi:10.18653/v1/2021.findings-emnlp.379): lines like `{"id": "covid_memes_18", "image": "covid_memes_18.png",
/// "labels": ["somewhat harmful", "individual"], "text": "..."}` in annotations/SPLIT.jsonl, defaults/annotations/
/// SPLIT.jsonl or SPLIT.jsonl; `split` is "train", "val" or "test". Pictures lie in images/ or img/ beside
/// annotations/ or the file, else beside the file. Label 0 is "not harmful", 1 "somewhat harmful" or "very harmful";
/// ids are hashes. Throws AbsentSplit, naming the files, if there is none, and as Manifest does.
Manifest harmeme(const std::filesystem::path& root, const std::string& split, const PresetOptions& options = {});

/// MMHS150K (Gomez et al. 2020, arXiv:1910.03814): MMHS150K_GT.json, one object whose keys are tweets' ids and whose
/// values have `labels`, those of three annotators from 0 (no hate) to 5, and `tweet_text`; splits/SPLIT_ids.txt, one
/// id a line, in whose order the samples come; img_resized/ID.jpg. `split` is "train", "val" or "test".
///
/// The label is 1 where more than half of the annotators saw hate of any kind. The text is the tweet's, and behind a
/// line end the words read off the picture where img_txt/ID.json has them as `img_text`. The big file is read in one
/// pass; what is kept of it is the split's. Throws AbsentSplit without the split's ids and IoError without the big
/// file; DataError for one that is not as said, for a text over 1 MiB and an id of the split that it does not have; and
/// PictureError, naming the split's file and line, for a missing picture.
Manifest mmhs150k(const std::filesystem::path& root, const std::string& split, const PresetOptions& options = {});

}  // namespace sslmeme
