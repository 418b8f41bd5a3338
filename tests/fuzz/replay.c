/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A fuzz target's corpus without a fuzzer: replay_NAME FOLDER|FILE...  Each input is run whole, and
 * a small one also cut short after each of its bytes.  Output is TAP; a crash is a failure by
 * itself.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CUT_BELOW 400

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long run_file(const char *path)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	unsigned long runs = 0;

	if (!f || fstat(fileno(f), &st) != 0 || st.st_size < 0) {
		fprintf(stderr, "# cannot read %s\n", path);
		exit(1);
	}
	size_t size = (size_t)st.st_size;
	/* exactly as large as the input: a sanitizer sees a read behind its end */
	uint8_t *data = malloc(size + !size);
	if (!data || fread(data, 1, size, f) != size) {
		fprintf(stderr, "# cannot read %s\n", path);
		exit(1);
	}
	fclose(f);
	for (size_t n = size < CUT_BELOW ? 0 : size; n <= size; n++, runs++) {
		uint8_t *part = malloc(n + !n);
		if (!part)
			exit(1);
		memcpy(part, data, n);
		(void)LLVMFuzzerTestOneInput(part, n);
		free(part);
	}
	free(data);
	return runs;
}

static unsigned long run_folder(const char *path)
{
	struct dirent **names;
	unsigned long files = 0, runs = 0;
	int n = scandir(path, &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		char full[4096];
		(void)snprintf(full, sizeof full, "%s/%s", path, names[i]->d_name);
		if (names[i]->d_name[0] != '.') {
			runs += run_file(full);
			files++;
		}
		free(names[i]);
	}
	if (n >= 0)
		free(names);
	printf("%s 1 - %s: %lu inputs, %lu runs\n", files ? "ok" : "not ok", path, files, runs);
	return files;
}

int main(int argc, char **argv)
{
	struct stat st;
	unsigned long files = 0;

	puts("TAP version 13\n1..1");
	for (int i = 1; i < argc; i++) {
		if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
			files += run_folder(argv[i]);
		else
			files += run_file(argv[i]) != 0;
	}
	return files ? 0 : 1;
}
