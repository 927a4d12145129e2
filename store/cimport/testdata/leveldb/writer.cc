// Writes databases as a C store does, for the tests of the import: with LevelDB in C++, which the C store uses too.
//
// Build: c++ -std=c++17 writer.cc -lleveldb -lpthread -o writer
// Run:   ./writer CASE DIR      (the cases stand at the end)

#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/write_batch.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

// Gate holds back the tables that LevelDB writes behind the writer's back, until it is opened.
class Gate : public leveldb::EnvWrapper {
 public:
  Gate() : EnvWrapper(leveldb::Env::Default()) {}

  leveldb::Status NewWritableFile(const std::string& name, leveldb::WritableFile** file) override {
    if (name.size() > 4 && name.substr(name.size() - 4) == ".ldb") {
      std::unique_lock<std::mutex> lock(mutex_);
      changed_.wait(lock, [this] { return open_; });
    }
    return target()->NewWritableFile(name, file);
  }

  void Set(bool open) {
    std::lock_guard<std::mutex> lock(mutex_);
    open_ = open;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = true;
};

static Gate gate;
static leveldb::DB* db;
static std::string folder;

static void Check(const leveldb::Status& status) {
  if (!status.ok()) {
    fprintf(stderr, "%s\n", status.ToString().c_str());
    exit(1);
  }
}

static std::string BigEndian(uint64_t n) {
  std::string bytes;
  for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(char(n >> shift));
  return bytes;
}

static std::string Key(char kind, const std::string& topic, const std::string& address) {
  return kind + topic + '\0' + address + '\0';
}

// Content is what the tests expect: leveldb_test.go makes the same.
static std::string Content(const std::string& topic, const std::string& address, uint64_t sequence) {
  if (sequence % 50 == 7) return "";
  std::string content = std::to_string(sequence) + " of " + topic + " " + address + " ";
  for (uint64_t i = 0; i < sequence % 20; i++) content += std::string("\0\xff", 2);
  return content;
}

// Add adds records first to last-1 to a batch, and their head, as a C store does.
static void Add(leveldb::WriteBatch* batch, const std::string& topic, const std::string& address, uint64_t first,
                uint64_t last) {
  for (uint64_t sequence = first; sequence < last; sequence++) {
    batch->Put(Key('M', topic, address) + BigEndian(sequence), Content(topic, address, sequence));
    batch->Put(Key('H', topic, address), BigEndian(sequence));
  }
}

// Write commits the next n records of each of two partitions, five of each at a time.
static uint64_t written;
static void Write(uint64_t n) {
  for (uint64_t end = written + n; written < end; written += 5) {
    leveldb::WriteBatch batch;
    Add(&batch, "hello", "A", written, written + 5);
    Add(&batch, "hello2", "B", written, written + 5);
    Check(db->Write(leveldb::WriteOptions(), &batch));
    leveldb::WriteBatch empty;  // of a round in which only heads came
    Check(db->Write(leveldb::WriteOptions(), &empty));
  }
}

// Logs is how many logs there are: a second one begins when the first is due to become a table.
static int Logs() {
  std::vector<std::string> names;
  Check(gate.GetChildren(folder, &names));
  int logs = 0;
  for (const std::string& name : names) logs += name.find(".log") != std::string::npos;
  return logs;
}

// Overtake fills the memory until a table of it is due and goes on. Only then may the table be written: so the manifest
// counts what is in the log behind it.
static void Overtake(uint64_t behind) {
  gate.Set(false);
  while (Logs() == 1) Write(5);
  Write(behind);
  gate.Set(true);
  while (Logs() == 2) usleep(1000);
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  std::string which = argv[1];
  folder = argv[2];
  leveldb::Options options;
  options.create_if_missing = true;
  options.env = &gate;
  options.write_buffer_size = 64 << 10;  // 4 MB in a C store
  Check(leveldb::DB::Open(options, folder, &db));
  if (which == "log") {  // all is in the log; ended with SIGTERM
    Write(50);
  } else if (which == "overtaken") {  // a table, and a log that the manifest counts already; ended with SIGTERM
    Overtake(60);
  } else if (which == "tables") {  // several tables, and such a log; ended with SIGTERM
    for (int i = 0; i < 4; i++) Overtake(100);
  } else if (which == "reopened") {  // ended and started again: what was in the log is in tables, and a new log is there
    Overtake(60);
    delete db;
    Check(leveldb::DB::Open(options, folder, &db));
    Write(30);
  } else if (which == "killed") {  // two logs, for the table of the first was not written when the store was killed
    Overtake(60);
    gate.Set(false);
    while (Logs() == 1) Write(5);
    Write(60);
    printf("%llu\n", (unsigned long long)written);
    fflush(stdout);
    _exit(0);
  } else if (which == "deleted") {  // someone has deleted two partitions: one that is in a table, one that is in the log
    leveldb::WriteBatch batch;
    Add(&batch, "gone", "C", 0, 20);
    Check(db->Write(leveldb::WriteOptions(), &batch));
    Overtake(60);
    leveldb::WriteBatch other;
    Add(&other, "gone", "D", 0, 20);
    Check(db->Write(leveldb::WriteOptions(), &other));
    leveldb::WriteBatch deleted;
    for (const char* address : {"C", "D"}) {
      std::string records = Key('M', "gone", address);
      for (uint64_t sequence = 0; sequence < 20; sequence++) deleted.Delete(records + BigEndian(sequence));
      deleted.Delete(Key('H', "gone", address));
    }
    Check(db->Write(leveldb::WriteOptions(), &deleted));
    Write(10);
  } else if (which == "ahead") {  // a head is ahead of the records
    Write(50);
    Check(db->Put(leveldb::WriteOptions(), Key('H', "hello", "A"), BigEndian(60)));
  } else {
    return 2;
  }
  delete db;
  printf("%llu\n", (unsigned long long)written);
}
