/* unit.h: what every Check program here has in common. A file lists its tests and ends with
 *   UNIT_MAIN("room", a_sentence_that_is_proved, another_one)
 * or, with something done before and after each test, UNIT_MAIN_IN. */
#pragma once
#include <check.h>
#include <stdlib.h>

#define UNIT_MAIN_IN(name, begin, end, ...)                                                        \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *tests[] = {__VA_ARGS__};                                                      \
        Suite *suite = suite_create(name);                                                         \
        TCase *tcase = tcase_create(name);                                                         \
        tcase_set_timeout(tcase, 60);                                                              \
        tcase_add_checked_fixture(tcase, begin, end);                                              \
        for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)                                  \
            tcase_add_test(tcase, tests[i]);                                                       \
        suite_add_tcase(suite, tcase);                                                             \
        SRunner *runner = srunner_create(suite);                                                   \
        srunner_run_all(runner, CK_ENV);                                                           \
        int failed = srunner_ntests_failed(runner);                                                \
        srunner_free(runner);                                                                      \
        return failed ? EXIT_FAILURE : EXIT_SUCCESS;                                               \
    }

#define UNIT_MAIN(name, ...) UNIT_MAIN_IN(name, NULL, NULL, __VA_ARGS__)
