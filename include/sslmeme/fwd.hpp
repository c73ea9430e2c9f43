// Cheap declarations of the main types, for headers that only name them.
#pragma once

namespace sslmeme {

class AnyDataset;
class AnyPairLoss;
class Backbone;
class BackboneRegistry;
class ClipBpe;
class DataLoader;
class FusionHead;
class ImageBackbone;
class InfoNce;
class MemeJsonl;
class ModalityGraph;
class RetrievalGuided;
class Rng;
class Siamese;
class Supervised;
class TextBackbone;
class Tokenizer;
class TrainingSession;
class Views;
class WordPiece;
struct Batch;
struct CosineLoss;
struct Image;
struct LossOutput;
struct Sample;
struct StepInfo;
struct TrainerOptions;

}  // namespace sslmeme
